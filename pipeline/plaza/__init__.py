"""The generated plaza of the demo: what is there, who moves, how it is drawn."""
