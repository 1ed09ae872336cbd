"""oslo.config files from nested data."""

from components.services.ini import Ini, merge, render


def test_values_are_written_as_oslo_config_reads_them() -> None:
    """Lists by commas, truth values in small letters, nothing for None."""
    settings: Ini = {
        "DEFAULT": {
            "debug": True,
            "workers": 2,
            "ram_allocation_ratio": 1.5,
            "enabled_apis": ["osapi_compute", "metadata"],
            "gone": None,
        },
        "filters": {"source": "a"},
    }
    assert render(settings) == (
        "[DEFAULT]\ndebug = true\nworkers = 2\nram_allocation_ratio = 1.5\nenabled_apis = osapi_compute,metadata\n"
        "\n[filters]\nsource = a\n"
    )


def test_later_layers_win_option_by_option() -> None:
    """A layer that says None takes an option back to its built-in default."""
    merged = merge({"a": {"x": 1, "y": 2}}, {"a": {"y": None}, "b": {"z": 3}})
    assert merged == {"a": {"x": 1, "y": None}, "b": {"z": 3}}
    assert render(merged) == "[a]\nx = 1\n\n[b]\nz = 3\n"
