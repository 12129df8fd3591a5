"""Training: losses, and the stages that use them. Needs the extra `train`."""
