"""What a network is: frozen columnar models, their formats and their checks; no solver, no clock."""
