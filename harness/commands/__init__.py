"""What each command does, callable from Python. The command line stands on it."""
