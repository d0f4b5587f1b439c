"""What may go wrong on purpose, one fault a file."""
