"""How often alerts are told unless somebody says otherwise. Apart, so that whoever lists settings loads little."""

STILL_EVERY_S = 3600.0
NOTIFY_AGE_S = 900.0
