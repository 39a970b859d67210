"""How a network behaves: arrays in, Solution out; no clock, socket or log of its own."""
