"""A page to look at: tables, plots, the cases in pictures, how it was made. One HTML file."""
