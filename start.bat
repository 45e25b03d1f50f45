@echo off
rem Finds a Python for ccproxy and hands everything over to it. "start.bat help" shows the commands.
setlocal
set PYTHONUTF8=1
rem ends in a quoted blank when Explorer has opened this file: see addon/cli/double_click.py
if "%~1"=="" set "CCPROXY_OPENED_BY=%CMDCMDLINE%"
set FITS="import sys; sys.exit(sys.version_info < (3, 12))"
set PYTHON="%~dp0.venv\Scripts\python.exe"
%PYTHON% -c %FITS% >nul 2>nul && goto found
for %%P in ("py -3.14" "py -3.13" "py -3.12" "py -3" "python") do (
  set "PYTHON=%%~P"
  %%~P -c %FITS% >nul 2>nul && goto found
)
echo ccproxy needs Python 3.12 or newer. Install it from https://www.python.org/downloads/ and run this again.
if "%~1"=="" pause
exit /b 1

:found
%PYTHON% "%~dp0addon\cli" bootstrap %*
exit /b %errorlevel%
