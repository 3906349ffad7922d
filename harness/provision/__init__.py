"""What images and virtual environments are made of: wheels, lock files, build contexts."""
