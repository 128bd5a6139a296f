"""The scheduler: decides which model runs on which machines, how many, and with which engine settings."""
