from qvirt.cli.app import main

main()
