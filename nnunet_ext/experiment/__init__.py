"""Many trainings of several models, from a plan to one table: what is finished is not done again."""
