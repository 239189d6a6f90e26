from logbook import entries


def test_depth_is_logged_in_fathoms():
    assert entries(["08:00 18.288\n", "\n"]) == ["08:00 10.0 fathoms"]
