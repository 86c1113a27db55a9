"""What the answers measure: agreement between questions, distance from engagement, reliability, batteries."""
