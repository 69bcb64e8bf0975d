"""One file per thing that can happen in a warehouse; each reads load -> decide -> save -> announce."""
