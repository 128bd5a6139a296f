"""The services of Kaito Bus. Each package here is one process; none imports another, all import `contracts` and `chassis`."""
