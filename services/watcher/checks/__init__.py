"""What a Workspace may say, one idea a module. Each gives sentences that name the field and what to change."""
