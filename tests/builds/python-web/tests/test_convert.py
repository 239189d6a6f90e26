from web.convert import fahrenheit


def test_water_boils_at_212():
    assert fahrenheit(100) == 212
