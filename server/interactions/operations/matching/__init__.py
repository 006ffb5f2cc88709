"""Are two Patient resources one person? Pure rules: who they say they are, element by element, and a grade."""
