"""What single kinds do in the pipeline beyond defaults and validation."""
