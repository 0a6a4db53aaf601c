ALTER TABLE journal.entries RESET (toast_tuple_target);
