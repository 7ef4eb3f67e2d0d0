"""What a charge point receives: one module for each profile, each with one text, TABLE.

A line is a name and what follows it, up to the end of the line:
    Action.req   fields of a request that the central system sends (- : none)
    Action.conf  fields of its answer to a request of the charge point
    Type         fields of an object
    Enum         = and the values
A field is `name:kind`, or `name!:kind` when it is required. Kinds:
    s, s20       string without limit, string of at most 20 characters
    int          integer;  int0, int1 -- at least 0, at least 1
    num1         number with at most one decimal
    bool, dt, uri, any
    Name         type or enumeration of the same module;  profile.Name -- of another one
    kind[]       list;  kind[1+] -- list with at least one element
"""
