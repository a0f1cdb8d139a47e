"""From NIfTI files to the block store, and back onto the original grid."""
