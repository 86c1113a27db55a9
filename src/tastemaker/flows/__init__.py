"""The only place where capability folders meet: load, call, save. No arithmetic lives here."""
