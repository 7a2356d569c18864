#!/bin/bash
# make down: stops the agents in order, then the programs, unmounts and cleans up. Keeps the
# configuration, the journal and the agents' state. Nothing running is no error.
source "$(dirname "$0")/layout.sh"

require_root down
lock_installation
install/service.sh stop
say "down; $config and $state are kept"
