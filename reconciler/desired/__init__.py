"""What Git says: documents, their limits, and the errors that name file, line and column. Pure."""
