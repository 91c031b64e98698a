"""The config that mmengine wrote into a checkpoint, read without running it."""

import ast
from typing import Any


def read_stored_config(text: str) -> dict[str, Any]:
    """Evaluate a dumped config: assignments of numbers, strings, lists, tuples, dicts and ``dict(...)`` calls.

    mmengine's own ``Config.fromstring`` executes the text as Python, so a checkpoint from elsewhere could run anything.

    Args:
        text: what ``Config.pretty_text`` gave.

    Returns:
        the values by name.

    Raises:
        ValueError: the text holds anything else; the line is named.
    """
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f'the stored config is no Python text (line {error.lineno})') from error
    config: dict[str, Any] = {}
    for statement in statements:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise ValueError(f'the stored config holds more than values (line {statement.lineno})')
        config[statement.targets[0].id] = _value(statement.value)
    return config


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [_value(each) for each in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(each) for each in node.elts)
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        return {_value(key): _value(each) for key, each in zip(node.keys, node.values, strict=True) if key is not None}
    if isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict' and not node.args:
        words = {word.arg: _value(word.value) for word in node.keywords}
        if None not in words:  # the name of **words
            return words
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    raise ValueError(f'the stored config holds more than values (line {node.lineno})')
