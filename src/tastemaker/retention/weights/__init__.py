"""Who answered against who was asked: exact balance weights, doubly robust means, tipping points."""
