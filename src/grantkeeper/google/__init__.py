"""Google's Photos, Picker and Drive for work outliving its worker: uploads go on, things are made once."""
