"""What runs in a container: one fold of a leave-one-out grid, or the preparation of a cohort."""
