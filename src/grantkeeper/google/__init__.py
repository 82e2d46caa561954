"""Google's Photos, Picker and Drive for work that outlives its worker: uploads go on, things are made once."""
