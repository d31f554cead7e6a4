"""What validators earn (protocol §8 "Validators")."""
