"""A page to look at: tables, plots, the cases in pictures, and how it was made. One HTML file, nothing else."""
