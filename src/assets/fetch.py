#!/usr/bin/env python3
"""Has npm put the packages of package-lock.json into node_modules/, next to the file STAMP, which then says
whether they are there. No script of theirs runs.

    fetch.py NPM enabled|auto PACKAGE_JSON PACKAGE_LOCK_JSON STAMP

Without a network, or with whatever else goes wrong, `auto` warns and lets the build go on without them.
"""
import os
import shutil
import subprocess
import sys

OPTIONS = ['--ignore-scripts', '--omit=dev', '--omit=optional', '--omit=peer', '--no-audit', '--no-fund',
           '--no-update-notifier', '--fetch-retries=1', '--fetch-timeout=60000']
# All in all; npm has no such limit.
LIMIT_S = 300


def install(npm, folder):
    """What npm complains of, or None."""
    # Without a terminal npm asks nothing and draws nothing.
    process = subprocess.Popen([npm, 'ci', *OPTIONS], cwd=folder, text=True, errors='replace',
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f'npm ci took more than {LIMIT_S} s'
    return said if process.returncode else None


def main():
    npm, feature, *inputs, stamp = sys.argv[1:]
    folder = os.path.dirname(os.path.abspath(stamp))
    for path in inputs:
        shutil.copyfile(path, os.path.join(folder, os.path.basename(path)))
    complaint = install(npm, folder)
    if complaint is not None:
        shutil.rmtree(os.path.join(folder, 'node_modules'), ignore_errors=True)
        print(complaint, file=sys.stderr)
        if feature == 'enabled':
            sys.exit('The packages of the pages cannot be had from npm, and -Dpages=enabled wants them.')
        print('WARNING: the packages of the pages cannot be had from npm; /docs and others will say so.\n'
              f'To try again: rm {os.path.abspath(stamp)}', file=sys.stderr)
    with open(stamp, 'w', encoding='utf-8') as file:
        file.write('absent\n' if complaint is not None else 'present\n')


if __name__ == '__main__':
    main()
