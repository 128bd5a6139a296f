"""Facts on models, machine sizes and prices: data, and the reader of prices, which several services need."""
