"""Try commands on hostile inputs, kills, flipped bytes and full disks; see docs/reliability.md."""
