"""Where pictures come from: folders, archives and tables, here or in a store, listed by place."""
