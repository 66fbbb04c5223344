"""Lists the trained models that `separate` knows by name, or prints a model's card.

    waveunet models
    waveunet models card vocals-small

Prints of each model its sources, rate, size, scores and what it was trained for. `card`
prints what it was trained on, with licences, how good, fast and large it is, and what
it is bad at. The models are those of installed packages and of the folder that
WAVEUNET_TF_MODELS names.
"""

from waveunet_tf.checkpoints import card_page, registry
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError


def main(words):
    """Prints a paragraph on each model; the exit code is 1 if a model is broken."""
    if words:
        if len(words) != 2 or words[0] != "card":
            raise app.UsageError(
                f"takes nothing, or card NAME. Received: {' '.join(words)}"
            )
        print(card_page.card_page(words[1]))
        return 0
    failed = 0
    for name in registry.names():
        try:
            print(registry.describe_model(name))
        except (InputError, OSError) as error:
            app.print_error(error)
            failed = 1
    return failed


if __name__ == "__main__":
    app.run(main, arguments="nothing, or card NAME", may_be_none=True)
