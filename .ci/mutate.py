"""Applies mutations to a copy of the sources and runs the tests that must notice."""

import pathlib
import random
import subprocess
import sys

copy, table, seed, number = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
rows = []
for line in pathlib.Path(table).read_text().splitlines():
    if not line.strip() or line.startswith("#"):
        continue
    path, old, new, tests = (field.strip() for field in line.split(" ⇒ "))
    rows.append((path, old, new, tests))

for path, old, _, _ in rows:
    found = (copy / path).read_text().count(old)
    if found != 1:
        sys.exit(f"{path}: `{old}` stands there {found} times, not once; mend .ci/mutations")

chosen = rows if number == "all" else random.Random(seed).sample(rows, min(int(number), len(rows)))
caught = 0
for path, old, new, tests in chosen:
    file = copy / path
    text = file.read_text()
    file.write_text(text.replace(old, new))
    run = subprocess.run(
        ["cargo", "test", "--locked", "--quiet", "--lib", "--target-dir", "target", "--", *tests.split()],
        cwd=copy,
        env={**__import__("os").environ, "CARGO_TARGET_DIR": str(pathlib.Path("target/mutants/target").resolve())},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    file.write_text(text)
    if run.returncode == 0:
        print(f"survived: {path}: `{old}` -> `{new}`")
    elif "test result: FAILED" in run.stdout or "panicked" in run.stdout + run.stderr:
        caught += 1
        print(f"caught: {path}: `{old}` -> `{new}`", flush=True)
    else:
        print(run.stderr[-2000:])
        sys.exit(f"{path}: `{old}` -> `{new}` does not build; mend .ci/mutations")

print(f"count: mutations caught: {caught} of {len(chosen)} (of {len(rows)} in the table, seed {seed})")
sys.exit(0 if caught == len(chosen) else 1)
