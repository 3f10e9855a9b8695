"""What is shown elsewhere than on the monitor's own page; not part of the installed package."""
