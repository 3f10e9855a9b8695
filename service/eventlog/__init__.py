"""Event log implementations behind `translation_events.log.EventLog`."""
