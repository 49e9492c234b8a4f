"""The page of messages has each as it is in the code, with names for what differs."""

from tools.error_messages import messages

SOURCE = """
TOO_MANY = "too many; give fewer"

def read(path, count, wide):
    if wide:
        raise InputError(f"{path.name!r}: is {'wide' if wide else 'tall'} by {len(count[0])}; make it " + "narrow")
    if count:
        raise InputError(TOO_MANY)
    raise InputError(f"{path}: {count}")
    raise ValueError("is for programmers")
"""


def test_messages_are_read_with_names_for_what_differs(tmp_path):
    file = tmp_path / "detection" / "data" / "reader.py"
    file.parent.mkdir(parents=True)
    file.write_text(SOURCE)
    wide, many = messages(tmp_path)
    assert (wide.file, wide.room) == ("detection/data/reader.py", "data")
    assert wide.parts == ("<name>: is <...> by <count>", "make it narrow")
    assert many.parts == ("too many", "give fewer")


def test_the_messages_of_the_toolkit_are_found():
    found = messages()
    assert len(found) > 300
    assert any("cannot be made a folder for results" in each.text and each.parts[1] for each in found)
