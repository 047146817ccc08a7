import re


def test_the_readme_s_python_runs_top_to_bottom(repo, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (repo / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "(64, 64, 3) (64, 64, 1)"
    assert printed[1] == "0.6"
    assert float(printed[-1]) > 0  # the probe's NMSE


def test_files_that_pages_name_are_there(repo):
    pages = [repo / "README.md", *(repo / "docs").glob("*.md")]
    wanted = re.compile(r"\bdocs/results/[\w./-]*\.\w+")
    named = {(page.name, path) for page in pages for path in wanted.findall(page.read_text())}
    assert len(named) > 5
    assert [(page, path) for page, path in sorted(named) if not (repo / path).exists()] == []
