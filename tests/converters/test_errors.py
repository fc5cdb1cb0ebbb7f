import pytest

from converters import errors


@pytest.mark.parametrize(
    "kind", [errors.RequestError, errors.ModelConversionError, errors.IntermediateFileError]
)
def test_one_class_catches_every_error(kind: type[errors.ConversionError]) -> None:
    assert issubclass(kind, errors.ConversionError)
    assert f"── {kind.__name__} " in str(errors.__doc__)
