#!/bin/bash
# Does clang's analyser find anything? The part of .clang-tidy that follows every path through a function, and takes nine
# tenths of its time.
# usage: clang_analyzer.sh BUILD_DIR

exec bash "$(dirname "$0")/tidy.sh" "${1-}" analyzer
