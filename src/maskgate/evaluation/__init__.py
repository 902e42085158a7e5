"""How good the verdicts are: metrics, matching of faces, figures over annotated scenes."""
