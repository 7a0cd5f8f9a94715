"""An adapter on a host, from config to file: attach, handle, save, load, freeze, grow."""
