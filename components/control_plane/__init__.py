"""Services on machines."""
