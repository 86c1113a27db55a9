"""The ledger across deployments: bank, margins, gates, and the switch back to the logger."""
