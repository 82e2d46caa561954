"""D1 to D9, the defects of nearly every system that refreshes tokens: one proof each that ours has it not."""
