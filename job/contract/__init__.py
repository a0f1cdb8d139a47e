"""What every part agrees on, in plain Python: study, grid, manifest, results, layout, exit codes."""
