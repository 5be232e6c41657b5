"""`python -m specprefill_agents.cli`."""

from specprefill_agents.cli import main

raise SystemExit(main())
