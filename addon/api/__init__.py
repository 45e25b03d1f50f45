"""What is answered on this machine: endpoints, dashboard, commands, content views."""
