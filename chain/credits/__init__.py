"""Credits: prepaid compute, one for a US dollar."""
